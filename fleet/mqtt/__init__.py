"""WHAT HOME ASSISTANT IS TOLD: the entities that it discovers over MQTT (pure), and the one file that speaks MQTT."""
