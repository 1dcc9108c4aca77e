"""The Protocols that the steps need of the outside, as small as they can be: a file each. An import says which."""
