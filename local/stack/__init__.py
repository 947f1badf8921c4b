"""What `python -m local` is made of: template, AWS stand-ins, Lambda environments, gateway, pollers."""
