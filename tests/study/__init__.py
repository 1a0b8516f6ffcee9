"""Tests of the room for studies."""
