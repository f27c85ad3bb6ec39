"""What image headers tell, read without decoding."""
