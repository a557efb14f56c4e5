"""Who may be one person, for somebody to confirm: names and places in one alphabet, evidence weighed, a queue."""
