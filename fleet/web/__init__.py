"""The HTTP API, served. Routes translate between api models and the controller; nothing here decides."""
