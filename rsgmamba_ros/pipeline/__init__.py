"""One image bundle's journey.

topics -> synchronisation -> preprocessing -> network (encoders -> reliability -> fusion -> decoder -> late fusion)
-> postprocessing -> topics

- topics:          ros/segmentation/subscriptions.py, ros/segmentation/publishers.py
- synchronisation: pipeline/synchronisation/
- preprocessing:   pipeline/preprocessing.py
- network:         network/rsgmamba.py
- encoders:        network/encoders/
- reliability:     network/reliability/
- fusion:          network/fusion/
- decoder:         network/decoder.py
- late fusion:     network/fusion/late_fusion.py
- postprocessing:  pipeline/postprocessing.py

pipeline/segmenter.py is all of it but the topics, as one call.
"""
