"""The console: pages for people, of what the API says on behalf of whoever is signed in."""
