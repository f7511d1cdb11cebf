"""Rules as the packet path uses them: the classifier, and actions compiled to programs."""
