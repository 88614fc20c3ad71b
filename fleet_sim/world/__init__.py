"""What a fleet lives in: people's week, couriers, weather, batteries, radio, new firmware."""
