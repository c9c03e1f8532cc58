"""What the HTTP API says: requests, responses, problem codes. Shared by web and client; no behaviour lives here."""
