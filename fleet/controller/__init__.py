"""The processes that decide: planner, inbox, inventory, supervisor. Nothing here touches an engine."""
