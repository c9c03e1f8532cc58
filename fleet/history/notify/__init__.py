"""What people are told: channels, deliveries to each, conditions that hold, links in messages, and the feed of events."""
