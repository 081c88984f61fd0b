"""Two modalities' features of a stage -> one map; and what is fused behind the decoder."""
