"""What a render process gives to its models: a device, networks that its threads share, figures."""
