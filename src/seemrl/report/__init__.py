"""The HTML report: what one or several run directories say, on one self-contained page."""
