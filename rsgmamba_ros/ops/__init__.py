"""Tensor operators: the selective scan and the orders in which it visits a feature map."""
