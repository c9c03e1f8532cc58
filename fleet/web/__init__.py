"""The HTTP API, served, and the pages over it. Routes translate between api models and the controller; nothing here decides."""
