"""The way of a call, in the order of the data: call, rules, conversion, delivery. Knows no adapter and no framework."""
