"""The command `tinyfleet`: gathers what the installed parts offer under one roof."""
