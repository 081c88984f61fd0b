"""What a training feeds the network: data sets, failures, batches."""
