"""What hosts wrote, taken into the history: a batch is one transaction, and taking it twice changes nothing."""
