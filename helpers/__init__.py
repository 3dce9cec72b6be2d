"""The course's plumbing, in small rooms with one purpose each."""
