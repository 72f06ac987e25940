"""The one door to MQTT: a small protocol and its implementations, for devices and the fleet; below it lies `wire`."""
