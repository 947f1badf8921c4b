"""From template.yaml to resources: translated by AWS's SAM translator, deployed to moto, and read back."""
