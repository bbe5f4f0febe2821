"""A page in the browser to try it: drop photographs, see faces, scores and why (extra `demo`)."""
