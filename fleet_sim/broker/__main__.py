"""`python -m fleet_sim.broker`: what `doorfleet-sim broker` does, with fewer imports."""

import argparse
import sys

from fleet_sim.verbs.broker import act, arguments

parser = argparse.ArgumentParser(prog="python -m fleet_sim.broker", description="An MQTT broker.")
arguments(parser)
sys.exit(act(parser.parse_args()))
