"""What there is: hosts with their keys and logins, and the containers that they told of."""
