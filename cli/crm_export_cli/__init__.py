"""The command line `crm-export`, over the same package as the functions."""
