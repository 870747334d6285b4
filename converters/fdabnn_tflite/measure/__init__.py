"""What is measured of TFLite files: their operators, and twins that they are compared with."""
