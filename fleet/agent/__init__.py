"""The worker of one host: takes orders from the road, drives updates, reports. Nothing here imports SQL or runs a shell."""
