"""One image bundle's journey.

topics -> synchroniser -> preprocessing -> network (encoder -> reliability-gated fusion -> decoder)
-> postprocessing -> topics

- topics:         ros/subscriptions.py, ros/publishers.py
- synchroniser:   pipeline/synchroniser.py
- preprocessing:  pipeline/preprocessing.py (and pipeline/signal_quality.py)
- network:        network/rsgmamba.py: network/encoder.py, network/fusion.py, network/decoder.py
- postprocessing: pipeline/postprocessing.py

pipeline/network_path.py puts the last three together, for a CPU and for CUDA; there pipeline/device_input.py and
pipeline/cuda_graphs.py take part. Where it is asked for, pipeline/restoration.py mends distrusted images in between.
"""
