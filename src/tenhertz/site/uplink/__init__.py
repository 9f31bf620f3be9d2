"""The uplink process: sends what the site recorded to the fleet until the fleet has it all.

The database is its queue. It holds nothing that cannot be made again from there: after any crash it
asks the fleet what that has, and goes on. `lanes` decides what goes next, `rows` reads and packs
it, `orders` is what the fleet wants of the site, `session` ties them together.
"""
