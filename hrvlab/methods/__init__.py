"""The methods that use Head Relevance Vectors: steering, Prompt-to-Prompt, Attend-and-Excite."""
