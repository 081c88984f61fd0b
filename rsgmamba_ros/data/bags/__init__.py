"""Bags: what lies in them, read and written without ROS."""
