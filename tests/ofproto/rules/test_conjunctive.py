"""Conjunctive matches against a naive twin, and their masks against the megaflow invariant."""

from hypothesis import given, settings
from hypothesis import strategies as st

from datapath.key import flow
from ofproto.codec.actions.extended import Conjunction
from ofproto.codec.actions.output import Output
from ofproto.rules.classifier import Classifier, Rule
from ofproto.rules.compile import compile_actions

SIZE = 680
BYTES = (65, 77, 105, 110, 153, 600)  # L2, L3, L4, pipeline
CONJ_ID = flow.MEMBERS["conj_id"][0] + 3
HARD = compile_actions([Output(1)])


def sparse(values):
    data = bytearray(SIZE)
    for at, value in zip(BYTES, values, strict=True):
        data[at] = value
    return bytes(data)


def masked(key, mask):
    return bytes(a & b for a, b in zip(key, mask, strict=True))


keys = st.lists(st.integers(0, 2), min_size=len(BYTES), max_size=len(BYTES)).map(sparse)
# Few bytes in each mask: that many rules match a packet at once.
masks = st.lists(st.sampled_from(range(len(BYTES))), max_size=2).map(
    lambda some: sparse([3 if i in some else 0 for i in range(len(BYTES))])
)
sizes = {1: 2, 2: 2, 3: 3}  # ID -> dimensions
alternatives = st.sampled_from([(number, k, n) for number, n in sizes.items() for k in range(n)])
kinds = st.one_of(
    st.none(), st.integers(1, 3), st.lists(alternatives, min_size=1, max_size=3, unique=True)
)
rules = st.tuples(keys, masks, st.integers(0, 3), kinds)
steps = st.lists(
    st.tuples(st.sampled_from(["insert", "insert", "insert", "remove", "modify", "lookup"]), rules),
    max_size=50,
)


class Twin:
    """Rules by (key, mask, priority); the value is None or a list of alternatives."""

    def __init__(self):
        self.rules = {}

    def hits(self, key):
        return {
            name: kind
            for name, kind in self.rules.items()
            if masked(key, name[1]) == name[0]
        }  # fmt: skip

    def best(self, key):
        """The highest rule of its own."""
        own = [name[2] for name, kind in self.hits(key).items() if not isinstance(kind, list)]
        return max(own, default=-1)

    def lookup(self, key):
        """The priorities of rules that may be found: where a packet completes several
        conjunctions of one priority, any of them counts."""
        hits = self.hits(key)
        floor = self.best(key)
        for priority in sorted({name[2] for name in hits if name[2] > floor}, reverse=True):
            found = {}
            for name, kind in hits.items():
                if name[2] == priority and isinstance(kind, list):
                    for number, clause, _n in kind:
                        found.setdefault(number, set()).add(clause)
            whole = [number for number, some in found.items() if len(some) == sizes[number]]
            answers = {self.best(with_id(key, number)) for number in whole}
            if answers - {-1}:
                return answers if -1 not in answers else answers | {floor}
        return {floor}


def with_id(key, number):
    return key[:CONJ_ID] + bytes([number]) + key[CONJ_ID + 1 :]


def program_of(kind):
    if not isinstance(kind, list):
        return HARD
    return compile_actions([Conjunction(*each) for each in kind])


def match_of(key, mask, kind):
    """A rule of its own may want a conjunction's ID."""
    if isinstance(kind, int):
        key, mask = with_id(key, kind), with_id(mask, 0xFF)
    return masked(key, mask), mask


def build(history):
    classifier, twin = Classifier(), Twin()
    for step, (key, mask, priority, kind) in history:
        key, mask = match_of(key, mask, kind)
        rule = classifier.find_exactly((key, mask), priority)
        if step == "insert":
            classifier.insert(Rule((key, mask), priority, program=program_of(kind)))
            twin.rules[key, mask, priority] = kind
        elif step == "modify" and rule is not None:
            other = None if isinstance(twin.rules[key, mask, priority], list) else [(1, 0, 2)]
            rule.set_program(program_of(other))
            twin.rules[key, mask, priority] = other
        elif step == "remove" and rule is not None:
            classifier.remove(rule)
            del twin.rules[key, mask, priority]
    return classifier, twin


@settings(max_examples=400, deadline=None)
@given(steps, st.lists(keys, min_size=3, max_size=6))
def test_against_twin(history, packets):
    classifier, twin = build(history)
    for key in packets:
        found = classifier.lookup(key)
        assert (-1 if found is None else found.priority) in twin.lookup(key)
        assert found is None or not isinstance(
            twin.rules[found.key, found.mask, found.priority], list
        )


@settings(max_examples=400, deadline=None)
@given(st.lists(rules, max_size=20), keys, st.lists(keys, min_size=10, max_size=10))
def test_wildcarded_bits_do_not_matter(table, key, others):
    classifier = Classifier()
    for at, (rule_key, mask, priority, kind) in enumerate(table):
        # What is found must be one thing: no two rules of their own of one priority, and one
        # conjunction only.
        if isinstance(kind, list):
            kind = [each for each in kind if each[0] == 3] or [(3, 0, 3)]
            priority *= 100
        else:
            priority = priority * 100 + at + 1
        made = match_of(rule_key, mask, kind)
        classifier.insert(Rule(made, priority, program=program_of(kind)))
    wc = bytearray(SIZE)
    found = classifier.lookup(key, wc)
    for other in others:
        flipped = bytes((k & m) | (o & ~m & 0xFF) for k, o, m in zip(key, other, wc, strict=True))
        assert classifier.lookup(flipped) is found


def test_many_alternatives_are_bounded():
    """Lookups of what would take too long find nothing, instead of taking it."""
    classifier = Classifier()
    many = compile_actions([Conjunction(i, 0, 2) for i in range(5000)])
    for i in range(20):
        mask = bytearray(SIZE)
        mask[BYTES[0]] = i + 1
        classifier.insert(Rule((bytes(SIZE), bytes(mask)), 7, program=many))
    assert classifier.lookup(bytes(SIZE)) is None
    last = bytearray(SIZE)
    last[BYTES[1]] = 1
    classifier.insert(Rule((bytes(SIZE), bytes(last)), 8, program=HARD))
    assert classifier.lookup(bytes(SIZE)).priority == 8
