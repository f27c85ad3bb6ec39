"""fakefreq: do spectra help to tell generated faces from photographs?"""
