"""The networks in other programs' formats: MONAI bundles, ONNX, TorchScript."""
