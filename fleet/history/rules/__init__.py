"""What people allowed and forbade: policies, windows, stops, and the tokens of the API; and hosts that nothing is sent to."""
