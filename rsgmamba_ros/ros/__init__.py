"""The only ROS imports: parameters, subscriptions, conversions, publishers, nodes."""
