"""The roles: plain classes, batch in, batch out; none of them knows whether it is an actor."""
