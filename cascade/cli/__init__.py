"""The commands: thin modules, one each, that parse, call the library and print."""
