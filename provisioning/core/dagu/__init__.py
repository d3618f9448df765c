"""What Dagu files mean: their declared model, and the rules that hold while they run."""
