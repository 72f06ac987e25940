"""The one door to MQTT: a small protocol and its implementations. Below it lies `wire`; devices and the fleet use it."""
