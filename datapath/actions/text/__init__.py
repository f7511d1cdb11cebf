"""Actions of the datapath as text, and back: as Open vSwitch writes them."""
