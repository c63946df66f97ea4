print("xtr")
