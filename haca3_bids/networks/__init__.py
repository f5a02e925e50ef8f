"""The networks of HACA3: tensors in, tensors out."""
