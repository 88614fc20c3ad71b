"""`python -m fleet_sim.broker`: what `doorfleet-sim broker` does, with fewer imports."""

import argparse
import sys

from fleet_sim.broker.cli import add_arguments, serve

parser = argparse.ArgumentParser(prog="python -m fleet_sim.broker", description="An MQTT broker.")
add_arguments(parser)
sys.exit(serve(parser.parse_args()))
