"""Files of the past into the inbox: what a mapping says, what a file holds, where an import stands."""
