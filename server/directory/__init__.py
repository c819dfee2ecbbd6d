"""A W3C WoT Thing Description Directory and a SPARQL 1.1 endpoint over one fleet's graph."""
