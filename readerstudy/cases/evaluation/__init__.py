"""`evaluate_recognition`: predicted tumor masks against reference masks, files in, tables out."""
