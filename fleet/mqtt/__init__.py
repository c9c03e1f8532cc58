"""What Home Assistant is told: the entities that it discovers over MQTT (pure), and the one file that speaks MQTT."""
