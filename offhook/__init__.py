"""Offhook: a phone call becomes one Rockerbox conversion. service.py puts it together; importing this starts nothing."""
