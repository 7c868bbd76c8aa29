"""`tocsin demo`: a year of real flights through an engine with a store, three triggers, and a picture.

flights.py   the events: departures from New York in 2013
run.py       first run: push, match, store; second run: replay the store and compare
picture.py   one aircraft's days with its matches marked
"""

from tocsin.demo.flights import DemoError
from tocsin.demo.run import run_demo

__all__ = ["DemoError", "run_demo"]
